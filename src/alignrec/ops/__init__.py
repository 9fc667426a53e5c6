"""*Tensors → tensors: the fast operators everything else is built on.*"""
