<%@ page contentType="text/plain" %>hello
