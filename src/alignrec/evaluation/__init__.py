"""*Rankings and truth → metrics per user and their means.*"""
