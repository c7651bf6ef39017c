"""The arithmetic of limits: what was counted, what is booked, when the next request may go."""
