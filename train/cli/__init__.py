"""`python -m train COMMAND`: one file a command; each has its arguments (`add`) and what is done with them."""
