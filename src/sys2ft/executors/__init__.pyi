from .named import opened as opened, require_executor as require_executor
from .pool import Pool as Pool, PoolExecutor as PoolExecutor, Transport as Transport
from .settings import ExecutorSettings as ExecutorSettings
from .worker import Recipe as Recipe, Reply as Reply, Worker as Worker
