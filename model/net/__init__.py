"""The network: trunk, heads, residual exchange, association map."""
