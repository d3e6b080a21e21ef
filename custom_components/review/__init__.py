"""The page on which people code montages: its server, its store and its files."""
