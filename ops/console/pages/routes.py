"""Put the pages into the console's application: the routes of each subject, and their frame."""

from collections.abc import Sequence

from flask import Blueprint, Flask, current_app

from ops.console.pages.assets import asset_routes, load_assets
from ops.console.pages.frame import Frame


def register_pages(app: Flask, frame: Frame, pages: Sequence[Blueprint]) -> None:
    """Register the pages, their assets, and what their templates may use."""
    assets = load_assets()
    versions = {name: asset.version for name, asset in assets.items()}
    app.register_blueprint(asset_routes(assets))
    for each in pages:
        app.register_blueprint(each)
    app.jinja_env.filters.update(frame.template_filters())
    app.context_processor(
        lambda: {
            **frame.template_values(),
            "asset_versions": versions,
            "view_functions": current_app.view_functions,
        }
    )
