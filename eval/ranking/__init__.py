"""How near each attack comes to the best that is known, over the propagations it takes."""
