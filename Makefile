# Tres órdenes bastan: `make libro`, `make pdf` y `make test`. Cada una prepara lo que necesita en un clon limpio.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
EXTRAS := book,grade,bench,extras,dev

.DEFAULT_GOAL := ayuda
.PHONY: ayuda libro pdf test rapido lint lecciones limpiar

ayuda:  ## Muestra esta lista
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# La marca depende de lo que fija la instalación: si cambia, se reinstala.
$(VENV)/.listo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

libro: $(VENV)/.listo  ## Construye el libro ejecutado en _build/html
	$(BIN)/python book/build.py

pdf: libro  ## El libro entero para imprimir, en _build/convlab.pdf (necesita Chromium)
	$(BIN)/python book/pdf.py

lint: $(VENV)/.listo  ## Estilo y tipos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

rapido: lint  ## Estilo, tipos y las pruebas que no entrenan, no califican ni abren páginas
	$(BIN)/python -m pytest -m 'not slow and not browser'

test: lint libro  ## Todo: estilo, tipos, pruebas, ortografía, cuadernos, nbgrader, libro y páginas
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 30

lecciones: $(VENV)/.listo  ## Regenera solutions/*.ipynb y lessons/ a partir de los .py
	$(BIN)/python -m convlab.exercises.notebooks

limpiar:  ## Borra lo generado (no el entorno)
	rm -rf _build build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
