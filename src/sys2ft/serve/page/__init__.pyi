from .launches import Launches as Launches
from .site import PUBLIC as PUBLIC, Site as Site
