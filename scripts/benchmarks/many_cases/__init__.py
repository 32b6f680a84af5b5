"""Runs over very many cases, killed and resumed."""
