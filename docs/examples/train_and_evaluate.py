"""Train a teacher on drawn ears, evaluate it, and look at its eigenears. Takes a minute on a CPU."""

import earcli

ears = earcli.synth("ears", count=40)
run = earcli.train(preset="tiny", epochs=2, train_manifest=ears.train_manifest, val_manifest=ears.val_manifest)
evaluation = earcli.evaluate(checkpoint=run.best)
psnr = evaluation.metrics["reconstruction"]["psnr"]
print(f"PSNR {psnr['value']:.2f} dB, 95% interval {psnr['low']:.2f} to {psnr['high']:.2f}; see {evaluation.output}")

eigenears = earcli.eigenears(checkpoint=run.last, components=4)
print(f"eigenears in {eigenears.output}")
