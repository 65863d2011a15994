"""Images on a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from msgspec.structs import replace

from dockmagic_runtime.errors import NotFound, ProcessFailed
from dockmagic_runtime.images.compression import Readable
from dockmagic_runtime.model.analysis import Anatomy, FileOrigin, FileVersion, Sharing, WastedFile
from dockmagic_runtime.model.build import (
    BuildDone,
    BuildEvent,
    BuildRequest,
    BuildStarted,
    StepDone,
    StepOutput,
    StepStarted,
)
from dockmagic_runtime.model.commit import ImportSpec
from dockmagic_runtime.model.container import PathStat
from dockmagic_runtime.model.filters import Filters
from dockmagic_runtime.model.image import History, Image, Layer, LayerFile
from dockmagic_runtime.model.progress import (
    LoadDone,
    LoadEvent,
    PullDone,
    PullEvent,
    PullStatus,
    PushDone,
    PushEvent,
)
from dockmagic_runtime.model.reference import ImageReference
from dockmagic_runtime.model.search import RemoteManifest, SearchResult
from dockmagic_runtime.model.usage import Pruned

from .fake_facet import FakeFacet
from .values import NOW, make_directory, make_image


class FakeImages(FakeFacet):
    def pull(
        self, reference: str, *, all_tags: bool = False, platform: str = ""
    ) -> Iterator[PullEvent]:
        self.engine.calls.append(("pull", reference))
        parsed = ImageReference.parse(reference)
        if parsed.repository.endswith("nope"):
            raise NotFound(f"pull access denied for {reference}, repository does not exist")
        yield PullStatus(status=f"Pulling from {parsed.repository}", id=parsed.tag)
        yield PullStatus(status="Downloading", id="0123456789ab", current=1, total=2)
        yield PullStatus(status="Pull complete", id="0123456789ab", current=2, total=2)
        yield PullStatus(status=f"Status: Downloaded newer image for {parsed.familiar}")
        image = make_image(parsed.canonical, "b")
        self.engine.known.append(image)
        yield PullDone(image=image, reference=reference)

    def list(self, *, all: bool = False) -> tuple[Image, ...]:
        return tuple(self.engine.known)

    def get(self, reference: str) -> Image:
        for image in self.engine.known:
            hexadecimal = image.id.removeprefix("sha256:")
            if reference == image.id or hexadecimal.startswith(reference):
                return image
            if ImageReference.parse(reference).canonical in image.tags:
                return image
        raise NotFound(f"No such image: {reference}")

    def inspect(self, reference: str) -> dict[str, Any]:
        image = self.get(reference)
        return {
            "Id": image.id,
            "RepoTags": list(image.tags),
            "RepoDigests": [f"httpd@sha256:{'e' * 64}"],
            "Config": {"Labels": None},
        }

    def history(self, reference: str) -> tuple[History, ...]:
        self.get(reference)
        return (
            History(created=NOW, created_by='CMD ["httpd-foreground"]', empty_layer=True),
            History(created=NOW, created_by="COPY . /usr/local/apache2/htdocs", size=1234),
        )

    def analyze(self, reference: str) -> Anatomy:
        files = tuple(LayerFile(path=f"/usr/bin/f{n}", kind="A", size=n) for n in range(500))
        layers = (
            Layer(
                diff_id="sha256:" + "1" * 64,
                chain_id="sha256:" + "2" * 64,
                created_by="ADD rootfs.tar /",
                size=10_000_000,
                files=files,
                shared_with=("docker.io/library/busybox:latest",),
                added=500,
            ),
            Layer(
                diff_id="sha256:" + "3" * 64,
                chain_id="sha256:" + "4" * 64,
                created_by="RUN echo '<script>alert(1)</script>'",
                size=20,
                files=(LayerFile(path="/etc/<b>motd</b>", kind="C", size=20),),
                changed=1,
            ),
        )
        wasted = WastedFile(
            path="/etc/<b>motd</b>", size=1_000_002, layer=1, hidden_by=2, is_removed=False
        )
        return Anatomy(
            image=self.get(reference),
            layers=layers,
            wasted=(wasted,),
            wasted_bytes=1_000_002,
            wasted_files=1,
        )

    def compare(self, first: str, second: str) -> Sharing:
        analysis = self.analyze(first)
        return Sharing(
            first=analysis.image,
            second=replace(analysis.image, tags=(second,)),
            common=analysis.layers[:1],
            only_first=analysis.layers[1:],
            only_second=(),
        )

    def list_directory(
        self, reference: str, path: str, *, limit: int = 10_000
    ) -> tuple[PathStat, ...]:
        self.get(reference)
        return make_directory(path)

    def file_history(self, reference: str, path: str) -> FileOrigin:
        return FileOrigin(
            image=self.get(reference),
            path=path,
            real_path=path,
            versions=(
                FileVersion(layer=1, created_by="ADD <i>", kind="A", type="file", mode=0o644),
                FileVersion(
                    layer=2,
                    created_by="RUN x",
                    kind="C",
                    type="file",
                    mode=0o600,
                    size=5,
                    digest="sha256:" + "9" * 64,
                    diff=("-old", "+<b>new\x1b[2J"),
                ),
            ),
        )

    def remove(self, reference: str, *, force: bool = False) -> tuple[str, ...]:
        self.engine.calls.append(("remove_image", reference, force))
        image = self.get(reference)
        self.engine.known.remove(image)
        return (f"Untagged: {reference}", f"Deleted: {image.id}")

    def tag(self, source: str, target: str) -> None:
        self.engine.calls.append(("tag", source, target))

    def build(self, request: BuildRequest) -> Iterator[BuildEvent]:
        self.engine.calls.append(("build", request))
        yield BuildStarted(steps=2)
        yield StepStarted(number=1, name="[1/2] FROM httpd", instruction="FROM httpd", line=1)
        yield StepDone(number=1, cached=True, seconds=0)
        yield StepStarted(number=2, name="[1/2] RUN make", instruction="RUN make", line=2)
        yield StepOutput(number=2, stream="stdout", data=b"\x1b[2Jmaking <b>it</b>\n")
        if self.engine.build_fails:
            # stages go side by side: another step may be the last that has begun
            yield StepStarted(number=3, name="[1/2] RUN other", instruction="RUN other", line=3)
            yield StepOutput(number=3, stream="stdout", data=b"another stage\n")
            failure = ProcessFailed(
                'process "/bin/sh -c make" did not complete successfully: exit code: 2',
                exit_code=2,
            )
            failure.step, failure.excerpt = 2, "   2 | RUN make\n     | ^"
            raise failure
        yield StepDone(number=2, cached=False, seconds=1.5, size=2048)
        tags = tuple(ImageReference.parse(tag).canonical for tag in request.tags)
        image = replace(make_image("x", "d"), tags=tags)
        self.engine.known.append(image)
        yield BuildDone(image=image, tags=tags, seconds=1.6)

    def layers(self, reference: str) -> tuple[Layer, ...]:
        return self.analyze(reference).layers

    def push(self, reference: str, *, all_tags: bool = False) -> Iterator[PushEvent]:
        self.engine.calls.append(("push", reference))
        self.get(reference)
        yield PushDone(reference=reference, digest="sha256:" + "d" * 64, size=500)

    def stand_ins(self, term: str = "") -> tuple[SearchResult, ...]:
        return tuple(
            SearchResult(name=name, description="made here", is_stand_in=True)
            for name in ("alpine", "httpd", "ubuntu")
            if term in name
        )

    def search(self, term: str, *, limit: int = 25) -> tuple[SearchResult, ...]:
        return (SearchResult(name=term, description="What was searched for"),)[:limit]

    def manifest(self, reference: str, *, insecure: bool = False) -> bytes:
        return b'{"schemaVersion": 2}'

    def manifests(
        self, reference: str, *, insecure: bool = False
    ) -> RemoteManifest | tuple[RemoteManifest, ...]:
        return ()

    def save(self, references: Sequence[str], out: BinaryIO) -> None:
        self.engine.calls.append(("save", tuple(references)))
        out.write(b"an archive")

    def load(self, source: Readable) -> Iterator[LoadEvent]:
        source.read(1 << 30)
        yield LoadDone(image=self.engine.known[0], reference="httpd:latest")

    def import_image(self, tar: Readable, spec: ImportSpec | None = None) -> Image:
        tar.read(1 << 30)
        return make_image(spec.reference if spec else "", "f")

    def prune(self, filters: Filters | None = None) -> Pruned:
        self.engine.calls.append(("prune_images", filters))
        return Pruned(removed=(), reclaimed=0)
