(defproject hello "0.1.0"
  :description "Prints a greeting"
  :dependencies [[org.clojure/clojure "1.x"]]
  :local-repo "/usr/share/maven-repo"
  :offline? true
  :main hello.core)
