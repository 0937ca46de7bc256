# One image for every process: `paidup ingest`, `paidup worker`, `paidup console` ...
# The first stage may hold build tools; the second holds the base lock and our wheel, nothing else.

FROM python:3.11.16-slim-bookworm@sha256:c425d915a89a6dcd3183b1797ad9bd8878caff5a417f6371c8df93c8ea8b727f AS wheel
WORKDIR /src
COPY requirements/dev.txt requirements/dev.txt
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements/dev.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11.16-slim-bookworm@sha256:c425d915a89a6dcd3183b1797ad9bd8878caff5a417f6371c8df93c8ea8b727f
RUN groupadd --gid 10001 paidup \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin paidup
COPY requirements/base.txt /tmp/base.txt
RUN pip install --no-cache-dir --require-hashes --no-deps -r /tmp/base.txt && rm /tmp/base.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps /wheels/*.whl
# The root file system may be read-only: whatever is written goes to /tmp, a tmpfs.
ENV PAIDUP_PLANS=/etc/paidup/plans.toml \
    PAIDUP_DATA_DIR=/tmp/paidup \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["paidup"]
CMD ["--help"]
