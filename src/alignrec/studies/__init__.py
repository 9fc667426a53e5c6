"""*Datasets, models, seeds → runs and comparisons.*"""
