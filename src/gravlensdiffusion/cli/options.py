"""Options that several commands share, and what they ask for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from gravlensdiffusion.cli.running import tell
from gravlensdiffusion.config.bounds import WISE_GUIDANCE, Count, Device, Guidance
from gravlensdiffusion.errors import GravLensError, listed

if TYPE_CHECKING:
    from gravlensdiffusion.sets.lens_set import LensSet

DataPath = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
"""A data set, named without a flag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineOptions:
    """Where to compute.

    Attributes:
        device: The processor, or a GPU; auto takes a GPU where there is one.
        threads: Threads to compute with; by default what OMP_NUM_THREADS says, else as many as
            there are free cores.
    """

    device: Device = "auto"
    threads: Count | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingOptions:
    """How images are drawn.

    Attributes:
        quality: A measured number of steps instead of --steps: draft for the fastest images, best
            for the closest ones, standard for the model's own; `gravlens models` lists them.
        sampler: How noise is undone: dpmpp (DPM-Solver++ 2M), ddim, ddpm (1000 random steps), heun,
            consistency, by distilled weights, or scheduler, as diffusers draws from its own networks.
            By default distilled weights where the model has some for that number of steps, else the
            model's own.
        steps: Number of steps; by default what suits model and sampler.
        guidance: How strongly class and parameters are insisted on; 1 is the model as it was
            trained.
        batch_size: Images at a time; it bounds the memory.
    """

    quality: Literal["draft", "standard", "best"] | None = None
    sampler: Literal["dpmpp", "ddim", "ddpm", "heun", "consistency", "scheduler"] | None = None
    steps: Count | None = None
    guidance: Guidance = 1.0
    batch_size: Count = 100

    def check(self) -> None:
        """Refuse what contradicts itself, and doubt a guidance that is strong."""
        for flag in ("steps", "sampler"):
            if self.quality is not None and getattr(self, flag) is not None:
                raise GravLensError(f"`quality` says how images are drawn, so leave out `{flag}`")
        if self.guidance > WISE_GUIDANCE:
            tell(
                f"guidance {self.guidance:g}: beyond {WISE_GUIDANCE:g}, lenses lose their shape and "
                "their flux; look at them"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class FileOptions:
    """How files are read.

    Attributes:
        crop: Take the middle of each image only, this many pixels a side; images that a model draws
            stay as they are.
        band: Keep this band where files, or images in FITS files, are of several: g, F814W. Several
            (g,r,i) become the channels of each image where FITS files hold them.
        hdu: Name or number of the HDU to read where FITS files hold several images: SCI, 2.
        dataset: Name of the array of images where .npz or HDF5 files hold several: X_train.
        labels: Name of the array of classes there: y_train.
        follow_links: Follow links that lead out of the folder.
        skip_bad: Go on without files that cannot be used.
        allow_object_arrays: Read DeepLense's pickled [image, mass] arrays, without running any code
            in them.
        map: Other names for classes of the images: no=no_sub,sphere=cdm,vort=axion. Two that get one
            name become one. What DeepLense calls so is understood by itself where a model knows the
            others.
    """

    crop: Count | None = None
    band: Annotated[str | None, tyro.conf.arg(aliases=["--bands"])] = None
    hdu: str | None = None
    dataset: str | None = None
    labels: str | None = None
    follow_links: bool = False
    skip_bad: bool = False
    allow_object_arrays: bool = False
    map: str | None = None

    def refuse(self, what: str) -> None:
        """Refuse all of these where ``what`` is read, which is no set in files."""
        for each in fields(self):
            if getattr(self, each.name) != each.default:
                raise GravLensError(f"`{each.name}` is for sets in files, not for {what}")

    def open(self, path: Path, **how: Any) -> "LensSet":
        """Open one data set; see `open_all`."""
        (source,) = self.open_all([path], **how)
        return source

    def open_all(
        self,
        paths: Sequence[Path],
        *,
        known: Collection[str] = (),
        with_notes: bool = True,
        **how: Any,
    ) -> "list[LensSet]":
        """Open data sets, their classes named as `map` says.

        One line is printed for each cause why files cannot be used.

        Args:
            paths: Files or folders.
            known: Classes that a model knows: what DeepLense calls otherwise is taken for them, and
                that is told.
            with_notes: Whether what was left alone is told as well.
            how: ``mixed`` and ``any_unit`` of `formats.open.open_set`.

        Raises:
            GravLensError: If a set cannot be opened, or none has a class that is to be renamed.
        """
        from gravlensdiffusion.sets.records import deeplense_names, read_map

        asked = read_map(self.map) if self.map is not None else {}
        sources = [self._open(path, with_notes, how) for path in paths]
        there = dict.fromkeys(name for each in sources for name in each.header.class_names)
        for name in asked:
            if name not in there:
                raise GravLensError(
                    f"`map` names class '{name}'; the images have: {listed([*there]) or 'none'}"
                )
        for k, path in enumerate(paths):
            own = sources[k].header.class_names
            # What somebody has named is left so.
            kept = {*known, *asked, *asked.values()}
            meant = deeplense_names(own, known)
            meant = {name: new for name, new in meant.items() if name not in kept}
            if meant:
                tell(
                    f"{path}: classes {listed([*meant])} are taken for {listed([*meant.values()])}, "
                    "as DeepLense names them; `map` says otherwise"
                )
            names = meant | {name: new for name, new in asked.items() if name in own}
            sources[k] = sources[k].relabelled(names) if names else sources[k]
        return sources

    def _open(self, path: Path, with_notes: bool, how: Mapping[str, Any]) -> "LensSet":
        """Open a data set with the classes that it has."""
        from gravlensdiffusion.errors import BadFilesError, by_cause
        from gravlensdiffusion.formats.open import open_set
        from gravlensdiffusion.model.folders import is_model

        bands = split(self.band or "")
        try:
            source = open_set(
                path,
                crop=self.crop,
                skip_bad=self.skip_bad,
                allow_object_arrays=self.allow_object_arrays,
                band=self.band if len(bands) < 2 else None,
                bands=bands if len(bands) > 1 else (),
                hdu=self.hdu,
                dataset=self.dataset,
                labels=self.labels,
                follow_links=self.follow_links,
                **how,
            )
        except GravLensError as error:
            if is_model(str(path)):
                raise GravLensError(f"{path}: is a model, where images are expected") from None
            if isinstance(error, BadFilesError):
                tell(*by_cause(error.problems))
            raise
        tell(*by_cause(source.problems), *(source.notes if with_notes else ()))
        if source.num_skipped:
            tell(f"skipped {source.num_skipped}, go on with {len(source)}")
        return source


def tell_absent(source: "LensSet") -> None:
    """Say which classes of a set have no images, so that they are left out."""
    if source.absent_classes:
        tell(f"no image belongs to {listed(source.absent_classes)}, left out")


def split(text: str) -> list[str]:
    """Return what stands between commas."""
    return [part.strip() for part in text.split(",")]
