"""*Training data → a backbone that represents users and items.*"""
