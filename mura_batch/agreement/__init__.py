"""Agreement statistics: pure functions of numbers. Every method is named and held to published values."""
