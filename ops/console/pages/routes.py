"""Put the pages into the console's application: their routes, what templates may use, errors."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask, current_app
from werkzeug.exceptions import HTTPException

from ops.console.access.console_access import ConsoleAccess
from ops.console.access.prefix import PrefixMiddleware, check_prefix
from ops.console.pages.assets import asset_routes, load_assets
from ops.console.pages.compressed import compress_page
from ops.console.pages.error_pages import ErrorPages
from ops.console.pages.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePages:
    """The pages of one server process, and who may see them."""

    frame: Frame
    access: ConsoleAccess
    subjects: Sequence[Blueprint]

    def register(self, app: Flask) -> ErrorPages:
        """Register the pages behind a login, and what needs none; return how errors are shown."""
        assets = load_assets()
        versions = {name: asset.version for name, asset in assets.items()}
        site = self.access.pages.site
        self.access.pages.register(
            app, self.subjects, open_pages=[*self.access.login, asset_routes(assets)]
        )
        check_prefix(site, app.url_map)
        app.wsgi_app = PrefixMiddleware(app.wsgi_app, site)  # type: ignore[method-assign]
        app.after_request(compress_page)
        app.jinja_env.filters.update(self.frame.template_filters())
        app.context_processor(
            lambda: {
                **self.frame.template_values(),
                "asset_versions": versions,
                "view_functions": current_app.view_functions,
            }
        )
        errors = ErrorPages(self.frame, site)
        app.register_error_handler(HTTPException, errors.respond)
        return errors
