"""Two weeks of a platform with several providers, lived in minutes; and what one looks at afterwards."""
