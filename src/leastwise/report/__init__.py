"""One dictionary of facts, told as text, as a page, and as JSON."""
