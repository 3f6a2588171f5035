"""Configuración de nbgrader: `solutions/` es la fuente, `lessons/` lo que recibe el alumnado.

Se usa igual desde esta carpeta que copiada a la de un curso: las plantillas se buscan en el paquete instalado.
"""

from importlib.util import find_spec
from pathlib import Path

import nbgrader

c = get_config()  # noqa: F821  lo pone traitlets al leer este archivo

c.CourseDirectory.course_id = "convlab"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "lessons"
# Sin *.py ni *.md, nbgrader copiaría a cada estudiante el texto del que sale el cuaderno, con las soluciones.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.py", "*.md"]

c.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
# El «raise» que dice qué falta está en cada ejercicio, tras la solución, porque nombra su función.
c.ClearSolutions.code_stub = {"python": "# Escribe aquí tu código y borra la línea que sigue."}
c.ClearSolutions.text_stub = "*Escribe aquí tu respuesta.*"
c.ClearHiddenTests.begin_test_delimeter = "### BEGIN HIDDEN TESTS"
c.ClearHiddenTests.end_test_delimeter = "### END HIDDEN TESTS"

# Una comprobación borrada vuelve a su sitio y cuenta; no se pierde ni anula la entrega.
c.OverwriteCells.add_missing_cells = True
c.OverwriteCells.missing_cell_notification = "Faltaba la celda «{cell_id}» en la entrega y se ha vuelto a poner.\n\n"

# Cada función ya tiene su propio límite dentro del motor; este es para el resto del cuaderno.
c.Execute.timeout = 300
c.Execute.error_on_timeout = {
    "ename": "Tiempo agotado",
    "evalue": "la celda no terminó en 300 segundos",
    "traceback": ["Tiempo agotado: la celda no terminó en 300 segundos. ¿Hay un bucle sin fin?"],
}
c.Execute.shutdown_kernel = "immediate"  # nada que guardar: ahorra la espera del cierre ordenado

# Lo que lee quien valida su cuaderno antes de entregarlo.
c.Validator.failed_warning = (
    "NO SE CUMPLEN DEL TODO {num_failed} COMPROBACIONES. Si entregas así, no tendrás todos los puntos.\n"
)
c.Validator.changed_warning = (
    "HAN CAMBIADO {num_changed} CELDAS DE COMPROBACIÓN. Al calificar se repone la original: que esta pase no basta.\n"
)
c.Validator.type_changed_warning = (
    "HA CAMBIADO EL TIPO DE {num_changed} CELDAS. Al calificar se repone el original: que pase no basta.\n"
)

c.HTMLExporter.template_name = "feedback_es"
c.HTMLExporter.template_file = "comentarios.html.j2"  # con otro nombre puede heredar el index.html.j2 de nbgrader
c.HTMLExporter.extra_template_basedirs = [
    str(Path(find_spec("convlab").origin).parent / "exercises" / "templates"),
    str(Path(nbgrader.__file__).parent / "server_extensions" / "formgrader" / "templates"),  # la que se traduce
]
