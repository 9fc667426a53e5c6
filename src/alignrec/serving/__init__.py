"""*A trained run → recommendations for people.*"""
