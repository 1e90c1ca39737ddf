"use strict";
// Nothing, from disk. `glossa serve` answers with what links pages to the live test.
