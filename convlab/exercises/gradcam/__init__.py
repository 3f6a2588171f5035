"""Los cinco ejercicios de la lección 09, en el orden del cuaderno."""

from convlab.exercises.gradcam import cam, channel_weights, grad_cam, iou_at_threshold, overlay

EXERCISES = (
    channel_weights.EXERCISE,
    grad_cam.EXERCISE,
    cam.EXERCISE,
    overlay.EXERCISE,
    iou_at_threshold.EXERCISE,
)
