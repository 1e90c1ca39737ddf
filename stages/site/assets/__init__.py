"""The parts of the site that are the same in every report: pages, styles and scripts, without a build step."""
