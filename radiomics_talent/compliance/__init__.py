"""How this program's features compare with the consensus values of IBSI 1, configuration by configuration."""
