from .app import build_app as build_app
from .catalogue import Catalogue as Catalogue, Served as Served, open_peft as open_peft, open_run as open_run
from .failures import ApiError as ApiError
from .running import Listening as Listening, server_of as server_of
from .service import Service as Service
from .settings import ServeSettings as ServeSettings
