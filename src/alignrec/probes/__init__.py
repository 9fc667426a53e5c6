"""*Features → are they any good, before anything is trained.*"""
