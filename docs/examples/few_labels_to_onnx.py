"""Fine-tune a detector on 20 labels, find the ear on a picture, and export the detector as ONNX."""

from pathlib import Path

import earcli

ears = earcli.synth("ears", count=40)
teacher = earcli.train(preset="tiny", epochs=1, train_manifest=ears.train_manifest, val_manifest=ears.val_manifest)
detector = earcli.finetune(
    preset="tiny",
    epochs=1,
    labels=20,
    checkpoint=teacher.best,
    train_manifest=ears.train_landmarks,
    val_manifest=ears.val_landmarks,
)
print(f"NME {detector.metrics['val/nme']:.1%} of the box's diagonal")

prediction = earcli.predict(sorted(Path("ears/images").iterdir())[:1], checkpoint=detector.best)
print(f"{prediction.ears} ear on {prediction.pictures} picture: {prediction.output}")

exported = earcli.export(checkpoint=detector.best, part="detector")
print(f"{exported.path}: {exported.bytes / 1e6:.0f} MB")
