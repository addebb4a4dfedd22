"""The adaptive evaluation: what gets past MagNet, by what the attacker knows of it."""
