# One image for every role: what runs is said by the command, who it is by LIANXIN_ROLE. See docs/containers.md.

FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
# First what changes rarely, so that a change of ours does not fetch the libraries again.
COPY requirements ./requirements
RUN python3 -m venv /opt/lianxin \
    && /opt/lianxin/bin/pip install --quiet --require-hashes --only-binary=:all: -r requirements/hub.txt
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --quiet --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY config ./config
COPY sync ./sync
COPY service ./service
COPY workers ./workers
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /opt/lianxin/bin/pip install --quiet --no-deps /wheel/*.whl \
    && /opt/lianxin/bin/python -m compileall -q /opt/lianxin/lib

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 lianxin \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/lianxin --no-create-home --shell /usr/sbin/nologin lianxin \
    && install -d -o lianxin -g lianxin -m 0700 /var/lib/lianxin
COPY --from=build /opt/lianxin /opt/lianxin
ENV PATH=/opt/lianxin/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LIANXIN_DATA_DIR=/var/lib/lianxin \
    LIANXIN_LISTEN_HOST=0.0.0.0 \
    LIANXIN_LOG_FORMAT=json
WORKDIR /var/lib/lianxin
USER 10001:10001
VOLUME /var/lib/lianxin
EXPOSE 8421
CMD ["lianxin", "serve"]
