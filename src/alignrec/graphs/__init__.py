"""*Interactions and features → graphs, built once.*"""
