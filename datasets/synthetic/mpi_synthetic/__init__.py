"""A synthetic French federation with its ground truth. No real person is in it."""
