"""*Pictures and texts → item vectors.*"""
