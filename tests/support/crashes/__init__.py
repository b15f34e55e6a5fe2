"""Every crash point once: kills and failures at each boundary of a scenario, and the checks that follow."""
