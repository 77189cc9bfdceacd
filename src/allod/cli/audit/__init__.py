"""`allod audit`: what the fleet's logs prove, checked by whoever wants to know."""
