"""Ways to weigh the losses compared at equal budget: by hand, by formula, by random search, by the search."""
