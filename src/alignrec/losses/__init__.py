"""*Tensors → one number to minimise.*"""
