"""File -> display image, with every decision recorded."""
