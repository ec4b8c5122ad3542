"""The HTML report of a run: one file, figures included."""

import base64

from openhop import plots, views
from openhop.figures import CAUSES
from openhop.running import Report
from openhop.templating import render as render_template


def render(report: Report) -> str:
    """Return the page."""
    run = plots.largest_map(report.first)
    return render_template(
        "report.html.j2",
        report=report,
        causes=CAUSES,
        cycles=plots.svg(plots.cycles(report.layers, len(report.pictures))),
        zeros=base64.b64encode(plots.png(plots.zeros(run))).decode(),
        layer=run.plan.layer.name,
        picture=report.pictures[0].file,
        percent=views.percent,
        shape=views.shape,
        kernel=views.kernel,
        summary=list(views.summary(report)),
    )
