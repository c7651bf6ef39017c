"""Templates with `${...}`: compiled and checked at load, rendered at each call."""
