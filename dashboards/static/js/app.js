// What every page has.
import './badge.js';
import './cards.js';
import './clock.js';
import './dialogs.js';
import './keys.js';
import './link.js';
import './offline.js';
import './sound.js';
