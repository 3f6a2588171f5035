"""Datos con verdad conocida (Formas), fotografías con licencia y distorsiones graduadas."""
