"""*A model and batches → a trained model: one loop, checkpoints, early stopping.*"""
