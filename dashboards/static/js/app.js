// What every page has.
import './clock.js';
import './dialogs.js';
import './link.js';
