"""Who someone is, as stated: frozen values, their normalised traits, and the French national identity."""
