"""Embed a folder of pictures and find the ears that look most like one of them."""

import earcli

ears = earcli.synth("ears", count=40)
run = earcli.train(preset="tiny", epochs=1, train_manifest=ears.train_manifest, val_manifest=ears.val_manifest)
index = earcli.embed(["ears/images"], "ears.npz", checkpoint=run.best)
print(f"{index.count} ears, {index.dimensions} dimensions")

found = earcli.search(index.output, ["ears/images/ear_00000.jpg"], k=3, checkpoint=run.best)
for neighbor in found.queries[0]["neighbors"]:
    print(f"{neighbor['distance']:.3f}  {neighbor['path']}")
