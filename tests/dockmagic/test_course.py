"""Every command line of the course is read as Docker reads it, or says that it is still to come."""

from __future__ import annotations

import pytest

from dockmagic import commands
from dockmagic.commands.options.container import container_spec
from dockmagic.magics.line import split_line

LINES = """
docker login
docker search httpd
docker search --limit=5 httpd
docker search httpd --limit=5
docker pull ubuntu
docker pull ubuntu:20.10
docker images
docker image ls
docker images -q
docker image ls -q
docker rmi IMAGE
docker image rm IMAGE
docker create ubuntu
docker create --name myubuntu ubuntu
docker ps
docker ps -a
docker ps -a -q
docker rm NAME
docker start NAME
docker run -it ubuntu
docker run -it --name myubuntu ubuntu
docker run -it --rm --name myubuntu2 ubuntu
docker run -it -d --name myubuntu3 ubuntu
docker stop myubuntu
docker pause NAME
docker unpause NAME
docker run httpd
docker run -d --name apacheweb httpd
docker run -d -p 9999:80 --name apacheweb2 httpd
docker run -v ./HOSTDIR:/usr/local/apache2/htdocs httpd
docker run -d -p 9999:80 -v ./HOSTDIR:/usr/local/apache2/htdocs --name apacheweb2 httpd
docker run -d -p 80:80 -v "./HOSTDIR":/usr/local/apache2/htdocs --name apacheweb2 httpd:alpine
docker container stats
docker exec -it apacheweb /bin/sh
docker run -dit --name myubuntu ubuntu
docker stop $(docker ps -a -q)
docker rm $(docker ps -a -q)
docker rmi $(docker images -q)
docker rmi -f $(docker images -q)
docker build --tag test ./
docker build --tag test2_image -f test_dockerfile .
docker build --pull=true --tag test .
docker build --tag myimage .
docker run -dit -p 9999:80 --name myweb2 --rm myimage
docker run -dit -p 9999:80 --name myweb2 --rm myimage /bin/sh -c httpd-foreground
docker run -dit -p 9999:80 --name httpdweb5 --rm myweb4
docker logs httpdweb1
docker stop NAME
docker kill NAME
docker history IMAGE
docker history NEWIMAGE
docker diff NAME
docker run --rm -d -p 8888:8888 -v ./HOSTDIR:/home/jovyan/work jupyter/datascience-notebook
docker build --tag mysqldb -f Dockerfile_MYSQL .
docker attach myubuntu
docker cp NAME:/etc/apache2/sites-available/000-default.conf ./
docker run -d -p 3306:3306 --name mydb -v ./DATADIR:/var/lib/mysql mysqldb
docker system df
docker container prune
docker image prune
docker system prune
docker commit -m "add vim" NAME NEWIMAGE
docker run --rm -d -p 8888:8888 -v ./H:/w --link mydb:myupyterdb jupyter/datascience-notebook
""".strip().splitlines()


def words_of(line: str) -> list[str]:
    return split_line(line, substitute=lambda _: "id1\nid2")[1:]


@pytest.mark.parametrize("line", LINES)
def test_line_is_read(line: str) -> None:
    arguments = commands.parse(words_of(line))
    if arguments.verb in ("run", "create"):
        container_spec(arguments)
