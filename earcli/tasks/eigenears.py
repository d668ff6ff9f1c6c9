"""Finding the eigenears of a teacher."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from earcli.config.fields import at_least, require
from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from earcli.analysis.eigenears import EigenEars
    from earcli.data.cache import Crops
    from earcli.models.vae import EarVAE

FIRST = 5


@dataclass(frozen=True)
class EigenearsComponent:
    """One principal component of the learned latent space.

    Attributes:
        number: 1 for the component with the largest variance.
        explained: Explained variance ratio.
        pixel_explained: That of the same component of a PCA of the pixels.
        correlations: Pearson's r of its scores with each variable.
        light, anatomy: Fractions of the scores' variance that lighting and labeled anatomy explain; None without
            variables, or with too few ears.
        verdict: What it encodes; None with too few ears.
    """

    number: int
    explained: float
    pixel_explained: float
    correlations: dict[str, float]
    light: float | None
    anatomy: float | None
    verdict: Literal["light", "anatomy", "mixed", "not light"] | None


@dataclass(frozen=True)
class EigenearsResult:
    """The eigenears of a teacher.

    Attributes:
        output: Folder of the results, with `eigenears.npz`, `eigenears.json` and images.
        components: The principal components of the learned latent space.
        notes: Sentences on what stands out.
        teacher: The checkpoint.
        manifest: The manifest of the ears.
        images, skipped: Numbers of ears, and of images that could not be used.
        reach: Range of the strips in standard deviations.
        steps: Ears in a strip.
    """

    output: Path
    components: list[EigenearsComponent]
    notes: list[str]
    teacher: Path
    manifest: str
    images: int
    skipped: int
    reach: float
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """The content of `eigenears.json`."""
        from earcli import __version__

        first = self.components[:FIRST]
        return {
            "teacher": str(self.teacher),
            "manifest": self.manifest,
            "images": self.images,
            "left_out": self.skipped,
            "ear": __version__,
            "range": self.reach,
            "steps": self.steps,
            "explained_first_5": sum(component.explained for component in first),
            "pixel_explained_first_5": sum(component.pixel_explained for component in first),
            "notes": self.notes,
            "components": [asdict(component) for component in self.components],
        }


def eigenears(
    checkpoint: str | Path = "last.ckpt",
    *,
    manifest: str | Path | None = None,
    root_dir: str | Path | None = None,
    limit: int | None = None,
    components: int = 16,
    reach: float = 3.0,
    steps: int = 9,
    output: str | Path | None = None,
    batch_size: int = 64,
    num_workers: int = 4,
    device: str = "auto",
    seed: int = 0,
    run_dir: str | Path = "runs",
    reporter: Reporter = SILENT,
) -> EigenearsResult:
    """Find the principal directions in which ears differ for a teacher, and whether they are anatomy or lighting.

    Args:
        checkpoint: A teacher: a file, a run's folder, or last.ckpt or best of the newest run.
        manifest: Manifest of the images. By default the run's validation set.
        root_dir: Folder that relative paths start from. By default the run's, or the manifest's.
        limit: Use a random subset of this many images.
        components: Principal components.
        reach: Range of each strip on either side of the mean ear, in standard deviations.
        steps: Ears in a strip; odd, so that the middle one is the mean ear.
        output: Folder of the results. By default in the run folder.
        batch_size: Images per batch.
        num_workers: Threads that decode images.
        device: Device of the model: auto, cpu, cuda, mps, or one with a number such as cuda:1. auto is CUDA if
            available, else the CPU.
        seed: Seed of the subset and of the PCA of the pixels.
        run_dir: Folder of all runs.
        reporter: Receives notes and progress.

    Raises:
        ConfigError: A parameter is out of range.
        CheckpointError: There is no such checkpoint, or it cannot be used.
        ManifestError: The manifest cannot be read.
        DataError: There are fewer ears than components, or the latent space collapsed.
        RunError: The folder of the results holds other files, or cannot be written.

    Example:
        >>> import earcli
        >>> result = earcli.eigenears("last.ckpt", components=8)  # doctest: +SKIP
        >>> [component.verdict for component in result.components[:2]]  # doctest: +SKIP
        ['anatomy', 'light']
    """
    require(at_least(1), limit=limit, components=components, batch_size=batch_size, num_workers=num_workers)
    require(at_least(0.1), reach=reach)
    require(at_least(0), seed=seed)
    if steps < 3 or steps % 2 == 0:
        raise ConfigError(f"`steps` must be odd and 3 or more, so that the middle ear is the mean, got {steps}.")
    from earcli.analysis.encoding import choose_device
    from earcli.checkpoints.checkpoint import Checkpoint
    from earcli.files import atomic_folder
    from earcli.tasks.eigenears_files import EIGENEARS_FILES, write_eigenears
    from earcli.tasks.inputs import report_ears, teacher_crops, validation_set

    opened = Checkpoint.open(checkpoint, "teacher", run_dir=run_dir)
    model = opened.teacher(choose_device(device))
    reporter.note(f"teacher {opened.path}")
    folder = opened.results_folder(output, "eigenears")
    with atomic_folder(folder, EIGENEARS_FILES) as temporary:
        chosen = validation_set(opened, manifest, root_dir).limit(limit, seed)
        crops = teacher_crops(opened, model, chosen, Path(run_dir), num_workers, reporter)
        source = str(manifest or opened.config.val_manifest)
        report_ears(crops, source, reporter)
        analysis = _analyze(model, crops, components, batch_size, seed, reporter)
        result = EigenearsResult(
            output=folder,
            components=analysis.components,
            notes=_notes(analysis, len(crops)),
            teacher=opened.path,
            manifest=source,
            images=len(crops),
            skipped=len(crops.skipped),
            reach=reach,
            steps=steps,
        )
        write_eigenears(temporary, result, model, analysis.space, crops.skipped)
    return result


@dataclass(frozen=True)
class _Analysis:
    """Eigenears, their components, and the number of ears that a verdict needs."""

    space: "EigenEars"
    components: list[EigenearsComponent]
    needed: int


def _analyze(
    model: "EarVAE", crops: "Crops", components: int, batch_size: int, seed: int, reporter: Reporter
) -> _Analysis:
    import numpy as np

    from earcli.analysis.attribution import attribute, ears_needed, measure_light
    from earcli.analysis.baselines import fit_pixel_pca
    from earcli.analysis.eigenears import fit_eigenears
    from earcli.analysis.encoding import posterior_means
    from earcli.synthetic.anatomy import LIGHT_FACTORS
    from earcli.synthetic.dataset import read_factors

    codes = posterior_means(model, crops.pixels, batch_size, reporter.progress)[:, model.skeleton_dim :]
    space = fit_eigenears(codes, components)
    factors = read_factors(crops.manifest.root, crops.manifest.paths)
    light = measure_light(crops.pixels) | {name: factors[name] for name in LIGHT_FACTORS if factors}
    anatomy = {name: values for name, values in factors.items() if name not in LIGHT_FACTORS}
    widths, heights = crops.manifest.boxes[:, 2], crops.manifest.boxes[:, 3]
    if np.isfinite(widths).all():
        anatomy["box_aspect"] = np.log(widths / heights)
    attributions = attribute(space.project(codes), light, anatomy)
    pixels = fit_pixel_pca(crops.pixels, components, seed, reporter.progress)
    ratios = zip(space.explained.tolist(), pixels.explained.tolist(), attributions, strict=True)
    result = [
        EigenearsComponent(
            number,
            explained,
            pixel_explained,
            {name: round(r, 4) for name, r in item.correlations.items()},
            item.light,
            item.anatomy,
            item.verdict,
        )
        for number, (explained, pixel_explained, item) in enumerate(ratios, 1)
    ]
    return _Analysis(space, result, ears_needed(light, anatomy))


def _notes(analysis: _Analysis, ears: int) -> list[str]:
    first = analysis.components[:FIRST]
    latent, pixel = sum(item.explained for item in first), sum(item.pixel_explained for item in first)
    notes = [
        f"the first {len(first)} components explain {latent:.0%} of the latent variance; those of the raw pixels "
        f"explain {pixel:.0%} of theirs, so the number alone proves nothing"
    ]
    if first[0].verdict is None:
        notes.append(f"{ears} ears are too few for a verdict: {analysis.needed} are needed")
    if all(item.verdict == "light" for item in first):
        notes.append(
            f"warning: the first {len(first)} components encode only lighting. The teacher has learned brightness and "
            "color before anatomy: see docs/eigenears.md"
        )
    return notes
